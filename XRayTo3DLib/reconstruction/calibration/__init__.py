"""The scale of pictures whose scale is unknown: gain, offset and curve, from what bodies measure and from the views together."""
