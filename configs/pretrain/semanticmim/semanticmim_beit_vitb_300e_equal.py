"""SemanticMIM on BEiT with the baseline's mask ratio (40 %): not published.

It differs from beit_vitb_300e.py in nothing but the two phases.
"""

_base_ = './beit_vitb_300e.py'

model = dict(backbone=dict(proxies=1))
