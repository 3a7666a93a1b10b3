"""Build guest images on this machine out of its distribution's own packages."""
