"""Jobs for the CCP-EM pipeliner and its window, Doppio. Nothing else imports this: it needs ``pipeliner``."""
