"""Data sets that a loader reads: image folders, lists of files, tar shards of WebDataset, TFRecord files.

Other rooms also use `callers`.
"""

from dali_ops.sources.archives.tfrecord import TFRecord
from dali_ops.sources.archives.web_dataset import WebDataset
from dali_ops.sources.image_folder import ImageFolder
from dali_ops.sources.lists.file_list import FileList
from dali_ops.sources.source import Source

__all__ = ["FileList", "ImageFolder", "Source", "TFRecord", "WebDataset"]
