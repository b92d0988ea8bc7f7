"""What the Kubernetes API says: slim objects, one observed snapshot, and how they are fetched."""
