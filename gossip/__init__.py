"""What tells: identity, signed records, the log, the libp2p network."""
