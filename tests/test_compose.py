import numpy as np
import pytest
import dalimix
from tests.conftest import random_images
def hand(B):
    p=dalimix.plan(dalimix.CutMix(),dalimix.draw(dalimix.CutMix(),B,0),(32,48)); return p
def test_equal(backend):
    m=dalimix.RandomChoice()
    for (h,w) in ((32,48),(17,33)):
      d=dalimix.draw(m,5,1); p=dalimix.plan(m,d,(h,w)) if False else None
      pl=backend.plan(m,d,(h,w))
      from dalimix.reference import random_choice
      ref=random_choice(m,d,(h,w))
      for a,b in zip(pl.arrays(),ref.arrays()): assert np.array_equal(a,b)
      import dalimix.reference as R
      for dt in ("uint8","float16","float32"):
        x=random_images(5,h,w,dtype=dt)
        for o in ("uint8","float16","float32"):
          got=backend.compose(x,ref,mirror=np.array([0,1,1,0,1]),mean=[1,2,3],std=[4,5,6],dtype=o,output_layout="CHW")
          want=R.compose(x,ref,np.array([0,1,1,0,1]),((1/4,1/5,1/6),(-1/4,-2/5,-3/6)),np.dtype(o),"HWC","CHW")
          assert np.array_equal(got,want), (dt,o)
