from tests.engine.conftest import config_file

__all__ = ['config_file']
