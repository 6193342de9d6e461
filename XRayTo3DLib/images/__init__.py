"""What a picture or a volume is: volumes, label maps, radiographs, and how they are resampled and shown."""
