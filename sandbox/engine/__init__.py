"""The container engine: settings, system calls, settings read back, the attached channel, images, leftovers."""
