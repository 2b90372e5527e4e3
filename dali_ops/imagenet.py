"""Mean and standard deviation of ImageNet's training images, for pixels of 0 to 255."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
