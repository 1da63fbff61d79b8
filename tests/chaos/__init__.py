"""Faults of all kinds over a catalogue; whatever dies, the next run ends with the bytes of an undisturbed one."""
