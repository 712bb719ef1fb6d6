"""Whether this machine is fit: checks of the machine and the engine, the attack suite, disk usage."""
