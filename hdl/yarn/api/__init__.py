"""What a user's side asks of YARN: by Hadoop's own client in Java, or by the same protocol without Java."""
