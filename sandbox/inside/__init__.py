"""What runs inside a sandbox, where this package is called ``sandbox.inside``."""
