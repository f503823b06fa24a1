"""Programs as people write them: state in closures, globals, classes and functions; queries of devices and autograd.

Each is a function that gives a fresh model and its inputs. What they count is what a real run multiplies.
"""

# ruff: noqa: B006, B905, PLW0603, PYI024, RUF012, RUF023, UP033  # as people write it

import collections
import contextlib
import contextvars
import copy
import dataclasses
import enum
import functools
import logging
import threading
import time
import types
import weakref

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def layer():
    return nn.Linear(8, 8)


def rows():
    return torch.randn(2, 8)


@program
def save_features_bound_method():
    class SF:
        def __init__(self, m):
            self.hook = m.register_forward_hook(self.fn)
            self.features = None

        def fn(self, m, i, o):
            self.features = o

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = layer()
            self.b = layer()
            self.sf = [SF(self.a)]

        def forward(self, x):
            self.a(x)
            return self.b(self.sf[0].features)

    return M(), (rows(),)


ACT = {}


@program
def global_activation_dict():
    ACT.clear()

    def get(name):
        def hook(m, i, o):
            ACT[name] = o.detach()

        return hook

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = layer()
            self.b = layer()
            self.a.register_forward_hook(get("a"))

        def forward(self, x):
            self.a(x)
            return self.b(ACT["a"])

    return M(), (rows(),)


@program
def outside_hook_object_used_by_forward():
    store = collections.defaultdict(list)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = layer()
            self.b = layer()

        def forward(self, x):
            self.a(x)
            return self.b(store["a"][-1])

    m = M()
    m.a.register_forward_hook(lambda mod, i, o: store["a"].append(o))
    return m, (rows(),)


@program
def forward_replaced_by_lambda():
    m = nn.Sequential(layer(), layer())
    f = m.forward
    m.forward = lambda x: f(f(x))
    return m, (rows(),)


@program
def forward_replaced_by_partial():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x, n):
            for _ in range(n):
                x = self.l(x)
            return x

    m = M()
    m.forward = functools.partial(m.forward, n=3)
    return m, (rows(),)


@program
def method_type_on_child():
    m = nn.Sequential(layer(), layer())

    def fw(self, x):
        return F.linear(F.linear(x, self.weight, self.bias), self.weight)

    m[1].forward = types.MethodType(fw, m[1])
    return m, (rows(),)


@program
def cached_property_module():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        @functools.cached_property
        def mask(self):
            return torch.ones(8, 8) @ torch.ones(8, 8)

        def forward(self, x):
            return self.l(x) @ self.mask

    return M(), (rows(),)


@functools.lru_cache(maxsize=None)
def table(n):
    return torch.arange(n * n).reshape(n, n).float() @ torch.ones(n, n)


@program
def lru_table():
    table.cache_clear()

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return self.l(x) @ table(x.shape[1])

    return M(), (rows(),)


class Counter(nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.l = layer()

    def forward(self, x):
        Counter.calls += 1
        for _ in range(Counter.calls):
            x = self.l(x)
        return x


@program
def class_counter():
    Counter.calls = 0
    return Counter(), (rows(),)


class Rope(nn.Module):
    cache = {}

    def __init__(self):
        super().__init__()
        self.l = layer()

    def forward(self, x):
        k = (x.shape, x.dtype, x.device)
        if k not in Rope.cache:
            Rope.cache[k] = torch.outer(torch.arange(2.0), torch.arange(8.0)).to(x)
        return self.l(x * Rope.cache[k])


@program
def class_cache():
    Rope.cache.clear()
    return Rope(), (rows(),)


@program
def instance_cache_by_shape():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.__dict__["c"] = {}

        def forward(self, x):
            if x.shape not in self.c:
                self.c[x.shape] = torch.eye(8).to(x) @ torch.eye(8).to(x)
            return self.l(x) @ self.c[x.shape]

    return M(), (rows(),)


@program
def attr_dict_config():
    class Cfg(dict):
        def __getattr__(self, k):
            return self[k]

        def __setattr__(self, k, v):
            self[k] = v

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.cfg = Cfg(n=3, sub=Cfg(w=2))
            self.l = layer()

        def forward(self, x):
            for _ in range(self.cfg.n * self.cfg.sub.w):
                x = self.l(x)
            return x

    return M(), (rows(),)


@program
def dataclass_frozen_config():
    @dataclasses.dataclass(frozen=True)
    class C:
        n: int = 2

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = C()
            self.l = layer()

        def forward(self, x):
            for _ in range(self.c.n):
                x = self.l(x)
            return x

    return M(), (rows(),)


@program
def namedtuple_state():
    St = collections.namedtuple("St", "h c")
    globals()["St"] = St

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.st = None

        def forward(self, x):
            if self.st is None:
                self.st = St(torch.zeros_like(x), torch.zeros_like(x))
            h = self.l(self.st.h + x)
            self.st = St(h, self.st.c)
            return h

    return M(), (rows(),)


@program
def thread_local():
    tl = threading.local()

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            tl.x = self.l(x)
            return self.l(tl.x)

    return M(), (rows(),)


@program
def contextvar():
    cv = contextvars.ContextVar("cv", default=None)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            tok = cv.set(self.l(x))
            y = self.l(cv.get())
            cv.reset(tok)
            return y

    return M(), (rows(),)


@program
def device_equal():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            n = (
                1
                if x.device == torch.device("cpu")
                and not x.is_meta
                and self.l.weight.device == x.device
                and str(x.device) == "cpu"
                and x.device.type == "cpu"
                and x.get_device() == -1
                else 2
            )
            for _ in range(n):
                x = self.l(x)
            return x

    return M(), (rows(),)


@program
def device_of_made():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            a = torch.zeros(2, 8)
            b = x.new_zeros(2, 8)
            c = torch.zeros_like(x)
            d = torch.ones(2, 8, device=x.device)
            g = torch.Generator(device=x.device)
            e = torch.randn(2, 8, generator=g, device=x.device)
            assert len({t.device for t in (a, b, c, d, e, self.l.weight)}) == 1
            return self.l(x + a + b + c + d + e)

    return M(), (rows(),)


@program
def grad_flags():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return self.l(x) if not torch.is_grad_enabled() else self.l(self.l(x))

    return M(), (rows(),)


@program
def try_autograd():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                e = self.l(x).sum()
                try:
                    (g,) = torch.autograd.grad(e, x)
                except RuntimeError:
                    return self.l(self.l(self.l(x)))
            return g

    return M(), (rows(),)


@program
def tensor_subclass_param():
    class MyP(nn.Parameter):
        def twice(self, x):
            return F.linear(F.linear(x, self), self)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = MyP(torch.randn(8, 8))

        def forward(self, x):
            return self.w.twice(x) if isinstance(self.w, MyP) else F.linear(x, self.w)

    return M(), (rows(),)


@program
def self_in_weakset():
    ws = weakref.WeakSet()

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            ws.add(self)

        def forward(self, x):
            return self.l(self.l(x)) if self in ws else self.l(x)

    return M(), (rows(),)


@program
def same_tensor_twice():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, a, b):
            return self.l(a) if a is b else self.l(self.l(a))

    x = rows()
    return M(), (x, x)


@program
def ndarray_attr():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.stat = np.zeros(3)
            self.hist = collections.deque(maxlen=4)

        def forward(self, x):
            self.stat += 1
            self.hist.append(float(self.stat[0]))
            return self.l(x)

    return M(), (rows(),)


@program
def user_list_subclass():
    class Buf(list):
        pass

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.b = Buf()

        def forward(self, x):
            self.b.append(self.l(x))
            return self.l(self.b[-1])

    return M(), (rows(),)


@program
def slots_obj():
    class S:
        __slots__ = ("v", "__weakref__")

        def __init__(self):
            self.v = None

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.s = S()

        def forward(self, x):
            self.s.v = self.l(x)
            return self.l(self.s.v)

    return M(), (rows(),)


@program
def masked_negative():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            y = self.l(x)
            y[y < 0] = 0
            y[:, 0] = 1
            y[torch.arange(2), torch.tensor([1, 2])] = 0
            return self.l(y)

    return M(), (rows(),)


@program
def to_float32_inside():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            self.l.to(torch.float32)
            self.l.float()
            self.to(x.device)
            return self.l(x.float().to("cpu"))

    return M(), (rows(),)


@program
def closure_lin():
    lin = layer()

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return lin(self.l(x))

    return M(), (rows(),)


class Reg:
    layers = {"x": nn.Linear(8, 8)}


@program
def class_registry_layer():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return Reg.layers["x"](self.l(x))

    return M(), (rows(),)


@program
def batchnorm_in_closure():
    bn = nn.BatchNorm1d(8)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return bn(self.l(x))

    m = M()
    m._bn = [bn]
    return m, (rows(),)


@program
def generator_state():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.g = torch.Generator().manual_seed(3)

        def forward(self, x):
            return self.l(x + torch.randn(x.shape, generator=self.g))

    return M(), (rows(),)


@program
def iterator_attr():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()
            self.it = iter(range(1, 100))

        def forward(self, x):
            for _ in range(next(self.it)):
                x = self.l(x)
            return x

    return M(), (rows(),)


@program
def contextlib_stack():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            with contextlib.ExitStack() as st:
                st.enter_context(torch.no_grad())
                st.enter_context(torch.autocast("cpu", enabled=False))
                return self.l(x)

    return M(), (rows(),)


@program
def vmap_and_func():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return torch.vmap(self.l)(x)

    return M(), (rows(),)


@program
def functional_call():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            p = {k: v * 2 for k, v in self.l.named_parameters()}
            return torch.func.functional_call(self.l, p, (x,))

    return M(), (rows(),)


@program
def jacrev():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return torch.func.jacrev(lambda v: self.l(v).sum(0))(x)

    return M(), (rows(),)


@program
def checkpointed():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return checkpoint(self.l, x, use_reentrant=False)

    return M(), (rows(),)


@program
def weight_norm_old():
    return nn.Sequential(
        torch.nn.utils.weight_norm(layer()),
        torch.nn.utils.parametrizations.weight_norm(layer()),
        torch.nn.utils.parametrizations.spectral_norm(layer()),
    ), (rows(),)


@program
def config_identity():
    class Cfg:
        pass

    c = Cfg()

    class Sub(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = c
            self.l = layer()

        def forward(self, x):
            return self.l(x)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = c
            self.s = Sub()

        def forward(self, x):
            return self.s(x) if self.c is self.s.c else self.s(self.s(x))

    return M(), (rows(),)


SENT = object()


@program
def sentinel():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = SENT
            self.l = layer()
            self.e = None

        def forward(self, x, y=SENT):
            return self.l(x) if self.v is SENT and y is SENT else self.l(self.l(x))

    return M(), (rows(),)


@program
def enum_key():
    class K(enum.Enum):
        A = 1
        B = 2

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.d = {K.A: 2}
            self.k = K.A
            self.l = layer()

        def forward(self, x):
            for _ in range(self.d[self.k] if self.k is K.A else 5):
                x = self.l(x)
            return x

    return M(), (rows(),)


@program
def global_tensor_state():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            global STATE
            STATE = self.l(x)
            return self.l(STATE)

    return M(), (rows(),)


STATE = torch.zeros(2, 8)


@program
def function_attribute():
    def helper(x):
        helper.last = x
        helper.n = getattr(helper, "n", 0) + 1
        return x

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x):
            return self.l(helper(self.l(x)))

    m = M()
    m.helper = helper
    return m, (rows(),)


@program
def default_arg_cache():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, x, cache=[]):
            cache.append(self.l(x))
            return self.l(cache[-1])

    return M(), (rows(),)


@program
def input_dict_written():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, d):
            d["y"] = self.l(d["x"])
            return d

    return M(), ({"x": rows()},)


@program
def input_object_written():
    class D:
        def __init__(self):
            self.x = rows()
            self.extra = [1]

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = layer()

        def forward(self, d):
            d.x = self.l(d.x)
            d.extra.append(2)
            return d.x

    return M(), (D(),)


net1 = nn.Sequential(layer(), layer())
old1 = net1.forward


def new1(x):
    return old1(old1(x))


net1.forward = new1


@program
def global_old_forward():
    return net1, (rows(),)


backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))


class Net2(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = layer()

    def forward(self, x):
        return self.head(backbone(x))


@program
def global_backbone():
    return Net2(), (rows(),)


net3 = nn.Sequential(layer(), layer())
feats = []


def hook3(m, i, o):
    feats.append(o)


net3[0].register_forward_hook(hook3)


class Net3(nn.Module):
    def __init__(self):
        super().__init__()
        self.n = net3
        self.h = layer()

    def forward(self, x):
        self.n(x)
        return self.h(feats[-1])


@program
def global_feats():
    feats.clear()
    return Net3(), (rows(),)


step = 0


class Net4(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        global step
        step += 1
        return self.h(x) if step < 2 else self.h(self.h(x))


@program
def global_step():
    global step
    step = 0
    return Net4(), (rows(),)


def helper5(x):
    helper5.last = x
    helper5.n += 1
    return x


helper5.n = 0


class Net5(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.act = helper5

    def forward(self, x):
        return self.h(self.act(self.h(x))) if self.act is helper5 else self.h(x)


@program
def global_function_attrs():
    helper5.n = 0
    return Net5(), (rows(),)


tl = threading.local()


class Net6(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.tl = tl

    def forward(self, x):
        tl.v = self.h(x)
        self.tl.w = 1
        return self.h(tl.v)


@program
def global_thread_local():
    return Net6(), (rows(),)


class Reg7:
    def __init__(self):
        self.items = {}

    def __call__(self, f):
        self.items[f.__name__] = f
        return f


R7 = Reg7()


@R7
def act7(x):
    return x * 2


class Net7(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        return self.h(R7.items["act7"](x))


@program
def registry_object():
    return Net7(), (rows(),)


class Singleton8:
    _i = None

    @classmethod
    def get(cls):
        if cls._i is None:
            cls._i = cls()
            cls._i.w = torch.randn(8, 8)
        return cls._i


class Net8(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        return self.h(x) @ Singleton8.get().w


@program
def singleton():
    Singleton8._i = None
    return Net8(), (rows(),)


class Meta9(type):
    _inst = {}

    def __call__(cls, *a):
        if cls not in Meta9._inst:
            Meta9._inst[cls] = super().__call__(*a)
        return Meta9._inst[cls]


class Cache9(metaclass=Meta9):
    def __init__(self):
        self.t = {}


class Net9(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        c = Cache9()
        if "x" not in c.t:
            c.t["x"] = self.h(x)
        return self.h(c.t["x"])


@program
def metaclass_singleton():
    Meta9._inst.clear()
    return Net9(), (rows(),)


def memo10(f):
    cache = {}

    @functools.wraps(f)
    def w(n):
        if n not in cache:
            cache[n] = f(n)
        return cache[n]

    w.cache = cache
    return w


@memo10
def table10(n):
    return torch.ones(n, n) @ torch.ones(n, n)


class Net10(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        return self.h(x) @ table10(8)


@program
def memo_decorator():
    table10.cache.clear()
    return Net10(), (rows(),)


class Net11(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.register_buffer("c", None)

    def forward(self, x):
        if self.c is None:
            self.c = torch.zeros(8).to(x.device)
        self.c += self.h(x).mean(0).detach()
        return self.h(x)


@program
def lazy_buffer():
    return Net11(), (rows(),)


class Net12(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        if not hasattr(self, "pos") or self.pos.shape[0] != x.shape[0]:
            self.pos = torch.arange(x.shape[0], dtype=torch.float32, device=x.device)[:, None]
        return self.h(x + self.pos)


@program
def lazy_attr():
    return Net12(), (rows(),)


class Net13(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = None

    def forward(self, x):
        if self.h is None:
            self.h = nn.Linear(x.shape[-1], 8).to(x.device)
        return self.h(x)


@program
def layer_made_in_forward():
    return Net13(), (rows(),)


class Net14(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.p = nn.Parameter(torch.zeros(2, 8))

    def forward(self, x):
        self.p.data = self.p.data + 1
        self.h.weight.data.mul_(0.9)
        self.p.grad = torch.zeros_like(self.p)
        return self.h(x + self.p)


@program
def data_assigned():
    return Net14(), (rows(),)


class Net15(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.ema = copy.deepcopy(self.h)

    def forward(self, x):
        with torch.no_grad():
            for a, b in zip(self.ema.parameters(), self.h.parameters()):
                a.lerp_(b, 0.1)
        return self.ema(x)


@program
def ema_inside():
    return Net15(), (rows(),)


class Net16(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        m = copy.deepcopy(self.h)
        return m(x)


@program
def deepcopy_inside():
    return Net16(), (rows(),)


class Net17(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            z = torch.randn(2, 8)
        return self.h(x + z)


@program
def fork_rng():
    return Net17(), (rows(),)


class Net18(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.times = []

    def forward(self, x):
        self.times.append(time.perf_counter())
        return self.h(x)


@program
def timing():
    return Net18(), (rows(),)


class Net19(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.lock = threading.Lock()
        self.ex = None

    def forward(self, x):
        with self.lock:
            return self.h(x)


@program
def lock():
    return Net19(), (rows(),)


class Net21(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        fut = torch.jit.fork(self.h, x)
        return torch.jit.wait(fut)


@program
def jit_fork():
    return Net21(), (rows(),)


class Net22(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        y = x.numpy() if not x.requires_grad else x.detach().numpy()
        return self.h(torch.from_numpy(np.ascontiguousarray(y)))


@program
def numpy_round():
    return Net22(), (rows(),)


class Net23(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        return self.h(x)[:, : int(x.shape[0])].unbind(0)[0].tolist and self.h(x)


@program
def weird():
    return Net23(), (rows(),)


class Net24(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def __call__(self, x):
        return super().__call__(self.h(x))

    def forward(self, x):
        return self.h(x)


@program
def call_override():
    return Net24(), (rows(),)


class Net25(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def __getattr__(self, k):
        if k == "dyn":
            return super().__getattr__("h")
        return super().__getattr__(k)

    def forward(self, x):
        return self.dyn(x)


@program
def getattr_override():
    return Net25(), (rows(),)


log = logging.getLogger("x")


class H(logging.Handler):
    def __init__(self):
        super().__init__()
        self.recs = []

    def emit(self, r):
        self.recs.append(r)


hh = H()
log.addHandler(hh)
log.setLevel(10)


class Net26(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()

    def forward(self, x):
        log.info("x %s", x.shape)
        y = self.h(x)
        log.info("y %s", y)
        return y


@program
def logging_tensor():
    return Net26(), (rows(),)


class Net27(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = layer()
        self.out = {}

    def forward(self, x):
        def rec(name, t):
            self.out[name] = t
            return t

        return rec("b", self.h(rec("a", x)))


@program
def self_dict_record():
    return Net27(), (rows(),)


class Averages(nn.Module):
    def __init__(self):
        super().__init__()
        self.l, self.average = layer(), layer()

    def forward(self, x):
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.l.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        return self.average(x)


@program
def average_of_weights():
    return Averages(), (rows(),)


class Clips(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = layer()

    def forward(self, x):
        self.l.weight.data.clamp_(-0.01, 0.01)
        with torch.no_grad():
            self.l.bias[2:4] = 7
            for parameter in self.l.parameters():
                parameter.mul_(0.5)
        return self.l(x)


@program
def clipped_weights():
    return Clips(), (rows(),)


class Adapts(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = layer()

    def forward(self, x):
        optimizer = torch.optim.SGD(self.l.parameters(), 0.1)
        with torch.enable_grad():
            self.l(x.detach()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        return self.l(x)


@program
def adapts_at_test_time():
    return Adapts(), (rows(),)
