"""What an audit looks into: a file of each question, columns in and figures out."""
