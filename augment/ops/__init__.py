"""The ops that recipes are made of: a file `<name>.py` here, or a user's own module, is one op.

It defines `Config`, `SLOTS` (random numbers per image), `sample`, `apply`, `describe` and `compare`, and may declare:

- `TARGET_WIDTH`: numbers that AugSelf predicts of `compare` (of classes, their number); without it the op cannot be
  predicted. `UPRIGHT = True` if `compare` holds only while no op before it has mirrored or turned the image.
- `REORIENTS = True` if it mirrors or turns the image.
- `PHOTOMETRIC = True` if it changes colours or sharpness and moves no pixel.
- `RESIZES = True` if it gives a view its size.
- `SHARED`: how many of the first `SLOTS` all views of an image share.
- `PROBES`: settings that change every image, by name ("" if there is one): the `invariance` protocol measures them.
- `scaled(config, strength)`: the settings at another strength of colour augmentation.
- `needs(config)`: fields of a batch, besides its images, that `apply` reads.
- `donor_geometry(config, geometry)`: the crop and flip of what a view borrows from another image, if a view has this
  op.
"""
