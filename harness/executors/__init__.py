"""Where units run and models are trained: on this machine, or on a Ray cluster."""
