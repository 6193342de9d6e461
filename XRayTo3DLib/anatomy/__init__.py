"""Named structures: segmentation, surfaces, voxels of surfaces."""
