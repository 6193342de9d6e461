"""How good an answer is: protocol, metrics, baselines, comparison."""
