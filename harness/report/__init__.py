"""What people read: text tables, CSV and the like, and the site."""
