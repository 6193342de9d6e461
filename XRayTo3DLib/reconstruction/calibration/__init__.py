"""The scale of pictures whose scale is unknown: gain, offset and curve, found from what bodies measure and from the views together."""
