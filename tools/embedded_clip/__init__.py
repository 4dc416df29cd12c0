"""The steps of build_embedded_clip.py: places, meanings, guesses, texts, tower, files."""
