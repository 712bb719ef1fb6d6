"""Pages of the site, one kind per file, found by this folder; the contract is in ``site.contract``."""
