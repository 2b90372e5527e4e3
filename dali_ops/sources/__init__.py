"""Data sets that a loader reads: image folders, lists of files, tar shards of WebDataset, TFRecord files."""

from dali_ops.sources.file_list import FileList
from dali_ops.sources.image_folder import ImageFolder
from dali_ops.sources.source import Source
from dali_ops.sources.tfrecord import TFRecord
from dali_ops.sources.web_dataset import WebDataset

__all__ = ["FileList", "ImageFolder", "Source", "TFRecord", "WebDataset"]
