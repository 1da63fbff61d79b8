"""A container's health: whether the page that HEALTH_URL names is there. Without one there is nothing to ask."""

import os
import urllib.request

if url := os.environ.get("HEALTH_URL"):
    urllib.request.urlopen(url, timeout=4)
