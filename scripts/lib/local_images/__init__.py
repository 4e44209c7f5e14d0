"""The product's images, built and loaded where no registry is; it must never push one anywhere."""
