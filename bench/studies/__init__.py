"""What is measured; each study beside the words of its section."""
