"""The page, thin enough to delete: everything it shows comes from `app`."""
