"""The steps of build_bundled_clip.py: places, meanings, guesses, texts, tower, files."""
