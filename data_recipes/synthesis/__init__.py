"""Images made from label maps: random geometry, random contrast, lesions, and the wear of real acquisition."""
