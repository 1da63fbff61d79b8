"""Scenes: open them, bring their inputs onto one grid, read a region with its valid mask."""
