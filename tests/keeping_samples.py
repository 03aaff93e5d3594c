"""Ways in which a function's result outlives the test that made it: `use` finds it made the second time."""

from __future__ import annotations

from collections.abc import Mapping

KEEPING: Mapping[str, str] = {
    "variable": """\
V = None
def use():
    global V
    if V is None:
        V = compute()
    return V
""",
    "item": """\
V = {}
def use():
    if 1 not in V:
        V[1] = compute()
    return V[1]
""",
    "item alias": """\
V = {'a': {}}
def use():
    v = V['a']
    if 1 not in v:
        v[1] = compute()
    return v[1]
""",
    "item of item": """\
V = {'a': {}}
def use():
    if 1 not in V['a']:
        V['a'][1] = compute()
    return V['a'][1]
""",
    "item of get": """\
V = {'a': {}}
def use():
    if 1 not in V['a']:
        V.get('a')[1] = compute()
    return V['a'][1]
""",
    "attribute of alias": """\
class Holder:
    def __init__(self):
        self.value = None

V = {'a': Holder()}
def use():
    x = V['a']
    if x.value is None:
        x.value = compute()
    return V['a'].value
""",
    "attribute of item": """\
class Holder:
    def __init__(self):
        self.value = None

V = {'a': Holder()}
def use():
    x = V['a']
    if x.value is None:
        V['a'].value = compute()
    return V['a'].value
""",
    "attribute of get": """\
class Holder:
    def __init__(self):
        self.value = None

V = {'a': Holder()}
def use():
    x = V['a']
    if x.value is None:
        V.get('a').value = compute()
    return V['a'].value
""",
    "plain attribute of alias": """\
class Holder:
    value = None

V = {'a': Holder()}
def use():
    x = V['a']
    if x.value is None:
        x.value = compute()
    return V['a'].value
""",
    "plain attribute of item": """\
class Holder:
    value = None

V = {'a': Holder()}
def use():
    x = V['a']
    if x.value is None:
        V['a'].value = compute()
    return V['a'].value
""",
    "attribute in loop": """\
class Holder:
    def __init__(self):
        self.value = None

V = [Holder()]
def use():
    for x in V:
        if x.value is None:
            x.value = compute()
    return V[0].value
""",
    "plain attribute in loop": """\
class Holder:
    value = None

V = [Holder()]
def use():
    for x in V:
        if x.value is None:
            x.value = compute()
    return V[0].value
""",
    "plain argument": """\
class Holder:
    value = None

V = [Holder()]
def fill(x):
    if x.value is None:
        x.value = compute()
    return x.value
def use():
    return fill(V[0])
""",
    "method of plain in container": """\
class Holder:
    value = None
    def get(self):
        if self.value is None:
            self.value = compute()
        return self.value
V = [Holder()]
def use():
    return V[0].get()
""",
    "method of plain in attribute": """\
class Holder:
    value = None
    def get(self):
        if self.value is None:
            self.value = compute()
        return self.value
class Top:
    inner = Holder()
def use():
    return Top.inner.get()
""",
    "dict argument": """\
V = {}
def fill(x):
    if 1 not in x:
        x[1] = compute()
    return x[1]
def use():
    return fill(V)
""",
    "setdefault append": """\
V = {}
def use():
    if 1 not in V:
        V.setdefault(1, []).append(compute())
    return V[1][0]
""",
    "defaultdict append": """\
import collections
V = collections.defaultdict(list)
def use():
    if not V[1]:
        V[1].append(compute())
    return V[1][0]
""",
    "globals": """\
V = None
def use():
    if V is None:
        globals()['V'] = compute()
    return V
""",
    "globals update": """\
V = None
def use():
    if V is None:
        globals().update(V=compute())
    return V
""",
    "setattr": """\
import sys
V = None
def use():
    if V is None:
        setattr(sys.modules[__name__], 'V', compute())
    return V
""",
    "module alias": """\
import sys
V = None
def use():
    me = sys.modules[__name__]
    if V is None:
        me.V = compute()
    return V
""",
    "type of self": """\
class K:
    value = None
    def get(self):
        if self.value is None:
            type(self).value = compute()
        return self.value
def use():
    return K().get()
""",
    "class of self": """\
class K:
    value = None
    def get(self):
        if self.value is None:
            self.__class__.value = compute()
        return self.value
def use():
    return K().get()
""",
    "classmethod": """\
class K:
    value = None
    @classmethod
    def get(cls):
        if cls.value is None:
            cls.value = compute()
        return cls.value
def use():
    return K.get()
""",
    "class by name": """\
class K:
    value = None
def use():
    if K.value is None:
        K.value = compute()
    return K.value
""",
    "class container": """\
class K:
    values = {}
    def get(self):
        if 1 not in self.values:
            self.values[1] = compute()
        return self.values[1]
def use():
    return K().get()
""",
    "class container update": """\
class K:
    values = {}
    def get(self):
        if 1 not in self.values:
            self.values.update({1: compute()})
        return self.values[1]
def use():
    return K().get()
""",
    "lazy object": """\
class K:
    def __init__(self):
        self.v = None
    def get(self):
        if self.v is None:
            self.v = compute()
        return self.v
V = K()
def use():
    return V.get()
""",
    "lazy object after own": """\
class K:
    def __init__(self):
        self.v = None
    def get(self):
        if self.v is None:
            self.v = compute()
        return self.v
V = K()
def use():
    for _ in range(9):
        own = K()
        own.v = 0
        own.get()
    return V.get()
""",
    "cached_property": """\
import functools
class K:
    @functools.cached_property
    def v(self):
        return compute()
V = K()
def use():
    return V.v
""",
    "lru_cache": """\
import functools
@functools.lru_cache
def v():
    return compute()
def use():
    return v()
""",
    "cache": """\
import functools
@functools.cache
def v(k):
    return compute()
def use():
    return v(1)
""",
    "cached method": """\
import functools
class K:
    @functools.lru_cache(None)
    def v(self):
        return compute()
V = K()
def use():
    return V.v()
""",
    "own decorator": """\
def keep(f):
    made = {}
    def inner():
        if 1 not in made:
            made[1] = f()
        return made[1]
    return inner
@keep
def v():
    return compute()
def use():
    return v()
""",
    "nonlocal": """\
def maker():
    v = None
    def get():
        nonlocal v
        if v is None:
            v = compute()
        return v
    return get
get = maker()
def use():
    return get()
""",
    "function attribute": """\
def use():
    if not hasattr(use, 'v'):
        use.v = compute()
    return use.v
""",
    "default argument": """\
def use(made={}):
    if 1 not in made:
        made[1] = compute()
    return made[1]
""",
    "default list": """\
def use(made=[]):
    if not made:
        made.append(compute())
    return made[0]
""",
    "environ": """\
import os
def use():
    if 'DTX' not in os.environ:
        os.environ['DTX'] = str(compute())
    return int(os.environ['DTX'])
""",
    "object setattr": """\
class K:
    def __init__(self):
        object.__setattr__(self, 'v', None)
    def get(self):
        if self.v is None:
            object.__setattr__(self, 'v', compute())
        return self.v
V = K()
def use():
    return V.get()
""",
    "vars": """\
class K:
    v = None
    def get(self):
        if self.v is None:
            vars(self)['v'] = compute()
        return self.v
V = K()
def use():
    return V.get()
""",
    "dict update": """\
class K:
    v = None
    def get(self):
        if self.v is None:
            self.__dict__.update(v=compute())
        return self.v
V = K()
def use():
    return V.get()
""",
    "missing": """\
class K(dict):
    def __missing__(self, key):
        self[key] = value = compute()
        return value
V = K()
def use():
    return V[1]
""",
    "augmented": """\
V = []
def use():
    global V
    if not V:
        V += [compute()]
    return V[0]
""",
    "slice": """\
V = []
def use():
    if not V:
        V[:] = [compute()]
    return V[0]
""",
    "extend": """\
V = []
def use():
    if not V:
        V.extend([compute()])
    return V[0]
""",
    "deque": """\
import collections
V = collections.deque()
def use():
    if not V:
        V.append(compute())
    return V[0]
""",
    "queue": """\
import queue
V = queue.Queue()
def use():
    if not V.queue:
        V.put(compute())
    return V.queue[0]
""",
    "context variable": """\
import contextvars
V = contextvars.ContextVar('V', default=None)
def use():
    if V.get() is None:
        V.set(compute())
    return V.get()
""",
    "thread local": """\
import threading
V = threading.local()
def use():
    if not hasattr(V, 'v'):
        V.v = compute()
    return V.v
""",
    "weak dictionary": """\
import weakref
class K:
    pass
K0 = K()
V = weakref.WeakKeyDictionary()
def use():
    if K0 not in V:
        V[K0] = compute()
    return V[K0]
""",
    "two steps": """\
V = None
def use():
    global V
    if V is None:
        v = compute()
        w = [v]
        V = w[0]
    return V
""",
    "inner function": """\
V = None
def use():
    global V
    def work():
        return compute()
    if V is None:
        V = work()
    return V
""",
    "made by caller": """\
V = {}
def put(v):
    V[1] = v
def use():
    if 1 not in V:
        put(compute())
    return V[1]
""",
    "made by caller, variable": """\
V = None
def put(v):
    global V
    V = v
def use():
    if V is None:
        put(compute())
    return V
""",
    "made by caller, object": """\
class Holder:
    def __init__(self):
        self.value = None

V = Holder()
def put(h, v):
    h.value = v
def use():
    if V.value is None:
        put(V, compute())
    return V.value
""",
    "registered object": """\
class K:
    def __init__(self, v):
        self.v = v
V = []
def use():
    if not V:
        V.append(K(compute()))
    return V[0].v
""",
    "registered, then filled": """\
class K:
    v = None
V = []
def use():
    if not V:
        k = K()
        V.append(k)
        k.v = compute()
    return V[0].v
""",
    "singleton": """\
class K:
    one = None
    def __new__(cls):
        if cls.one is None:
            cls.one = super().__new__(cls)
            cls.one.v = compute()
        return cls.one
def use():
    return K().v
""",
    "slots": """\
class K:
    __slots__ = ('v',)
    def get(self):
        if not hasattr(self, 'v'):
            self.v = compute()
        return self.v
V = K()
def use():
    return V.get()
""",
    "slots in container": """\
class K:
    __slots__ = ('v',)
    def get(self):
        if not hasattr(self, 'v'):
            self.v = compute()
        return self.v
V = (K(),)
def use():
    return V[0].get()
""",
    "property setter": """\
class K:
    def __init__(self):
        self._v = None
    @property
    def v(self):
        return self._v
    @v.setter
    def v(self, value):
        self._v = value
V = K()
def use():
    if V.v is None:
        V.v = compute()
    return V.v
""",
    "dataclass": """\
import dataclasses
@dataclasses.dataclass
class K:
    v: int = 0
    def get(self):
        if not self.v:
            self.v = compute()
        return self.v
V = {'k': K()}
def use():
    return V['k'].get()
""",
    "named set": """\
V = set()
def use():
    if not V:
        V.add(compute())
    return next(iter(V))
""",
    "default that another function got before": """\
def add(values, value):
    values.append(value)
def use(kept=[]):
    if not kept:
        add(kept, 7)
        kept.append(compute())
    return kept[1]
""",
}

UNDOING: Mapping[str, str] = {
    "variable": """\
V = None
def use():
    global V
    V = 7
def undo():
    global V
    V = None
""",
    "attribute of an object": """\
class C:
    pass
V = C()
V.x = None
def use():
    V.x = 7
def undo():
    V.x = None
""",
    "deleted attribute": """\
import sys
def use():
    sys.modules[__name__].x = 7
def undo():
    del sys.modules[__name__].x
""",
    "cleared list": """\
V = []
def use():
    V.append(7)
def undo():
    V.clear()
""",
    "item taken out": """\
V = {}
def use():
    V["a"] = 7
def undo():
    V.pop("a")
""",
    "deleted item": """\
V = {}
def use():
    V["a"] = 7
def undo():
    del V["a"]
""",
    "element removed": """\
class C:
    hooks = []
def use():
    C.hooks.append(7)
def undo():
    C.hooks.remove(7)
""",
    "exit of a context manager": """\
class undo:
    mode = "a"
    def __enter__(self):
        type(self).mode = "b"
    def __exit__(self, *_):
        type(self).mode = "a"
def use():
    with undo():
        pass
""",
}
"""Ways in which `undo` puts back what `use` left: had it not, tests that never enter it would find that."""
