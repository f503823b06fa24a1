"""What torch does not promise, and what differs between its versions."""
