"""What MODEL and --input may say, one file a kind of source."""
