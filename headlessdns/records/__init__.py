"""What the DNS is to say: RRsets by owner name, from the observed cluster, by pure rules."""
