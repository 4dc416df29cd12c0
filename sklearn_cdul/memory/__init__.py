"""In come photos; out go their embeddings, made by an encoder once and read from a folder later."""
