"""Sizes of the plain transformer that the peers run: those of MIME's paper preset."""

WIDTH = 300
HEADS = 2
ATTENTION = 40  # keys of all heads together
FFN = 150  # as many weights as two convolutions of width 3 over 50 channels
POSITIONS = 1000
LOGIT_DEVIATION = 3.0  # of random models; the best of 24,640 words then has a probability of a few percent
