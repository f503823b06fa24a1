"""Many models at many sizes as one table: a grid of points, each analyzed by itself, in processes or on a cluster.

Not named after its function: `import cnncost.sweep` would replace the function with the package.
"""
