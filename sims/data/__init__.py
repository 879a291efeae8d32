"""Data sets, held whole on the device."""
