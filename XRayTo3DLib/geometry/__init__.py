"""Where things are: grids, projections, matrices, views; numpy alone."""
