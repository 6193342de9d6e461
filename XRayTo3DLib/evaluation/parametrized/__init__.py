"""Parametrized X-rays measured on CTs: image, markers, loop, drags, completion, anomalies, training data."""
