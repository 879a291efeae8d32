"""Property tests without deadlines: on a machine that is busy a slow example is no defect."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
