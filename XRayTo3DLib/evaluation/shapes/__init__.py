"""The evaluation of organ shapes: cases, X-rays and masks, baselines, figures, tables."""
