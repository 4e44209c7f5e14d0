"""Images, clips and sound: looking at what was paid for and making composites and the film; it must never spend."""
