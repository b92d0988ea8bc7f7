"""A counter that several members keep together; they find each other by SRV records."""
