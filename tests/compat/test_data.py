"""Copies of data sets hold nothing of others."""

from mmengine.dataset import BaseDataset


def test_a_subset_holds_nothing_of_data_sets_that_are_gone():
    for _ in range(20):
        Listed(serialize_data=False).get_subset(1)
        whole = Listed(serialize_data=False)
        whole.kept = [Thing() for _ in range(50)]  # one lies where the data set lay
        assert {type(thing) for thing in whole.get_subset(1).kept} == {Thing}


class Thing:
    pass


class Listed(BaseDataset):
    def load_data_list(self):
        return [dict(name='a'), dict(name='b')]
