"""A population of labelled bodies learned from a few CTs: registration, statistics of shape and intensity, sampling."""
