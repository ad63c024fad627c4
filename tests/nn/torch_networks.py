"""Networks of torch as people write them: residual, dense, U-shaped, with gates, in all the ways of calling torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """He et al. (2016), figure 2."""

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride > 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, widths=(4, 6, 8, 8), blocks=2):
        super().__init__()
        self.conv1 = nn.Conv2d(2, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c = widths[0]
        for i, width in enumerate(widths):
            layers = []
            for j in range(blocks):
                layers.append(BasicBlock(c, width, 2 if i and not j else 1))
                c = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(c, 3)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


class UNet(nn.Module):
    """Ronneberger, Fischer and Brox (2015), figure 1, two levels."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([self.stage(2, 3), self.stage(3, 4)])
        self.middle = self.stage(4, 5)
        self.up = nn.ModuleList([nn.ConvTranspose2d(5, 4, 2, 2), nn.ConvTranspose2d(4, 3, 2, 2)])
        self.after = nn.ModuleList([self.stage(8, 4), self.stage(6, 3)])
        self.head = nn.Conv2d(3, 2, 1)

    @staticmethod
    def stage(c_in, c_out):
        layers = [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, nn.Conv2d(c_out, c_out, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for up, block in zip(self.up, self.after):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        return F.log_softmax(self.head(x), dim=1)


class DenseNet(nn.Module):
    """Huang et al. (2017), eq. 2: each layer sees all before it; a dropout that is a function; no grid left at the end."""

    def __init__(self, drop=0.0):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 2 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(4 + 2 * i, 2, 3, padding=1) for i in range(3))
        self.drop, self.head = drop, nn.Linear(10, 3)

    def forward(self, x, unused=None):
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs):
            new = conv(F.relu(norm(torch.cat(features, 1))))
            features.append(F.dropout(new, self.drop, self.training))
        out = F.avg_pool2d(torch.cat(features, 1), 2)
        out = F.adaptive_avg_pool2d(F.relu(out, inplace=True), 1)
        return self.head(out.view(out.size(0), -1))


class Gated(nn.Module):
    """Gates on channels (Hu et al. (2018), figure 3), by rows and by convolutions of one pixel; own scales."""

    def __init__(self):
        super().__init__()
        self.conv, self.group = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.rows = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.Sigmoid())
        self.fc1, self.fc2 = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.gamma = nn.Parameter(torch.linspace(0.5, 2, 4)[:, None, None])
        self.register_buffer("shift", torch.linspace(-1, 1, 4).view(1, 4, 1, 1), persistent=False)

    def forward(self, x):
        x = self.group(self.conv(x))
        b, c, _, _ = x.size()
        x = x * self.rows(F.adaptive_avg_pool2d(x, 1).view(b, c)).view(b, c, 1, 1)
        gate = self.fc2(F.silu(self.fc1(x.mean((-2, -1), keepdim=True))))
        x = torch.sigmoid(gate) * x + self.shift
        x = 1 - self.gamma.mul(x) / 2
        return x.amax(dim=(2, 3)) - torch.max(x.flatten(1), 1, keepdim=True).values


class Residual1d(nn.Module):
    """One block called twice, added to a coarser and a finer view of a sequence."""

    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv1d(2, 4, 5, padding=2), nn.GELU()
        self.block = nn.Sequential(nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3, padding=1, groups=2), nn.Dropout(0.0))
        self.twin = self.block
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x):
        x = self.stem(x)
        x = x.add(self.block(self.act(x)))
        x = torch.add(x, self.twin(x), alpha=0.5)
        return x - self.up(F.max_pool1d(x, 2)).tanh_()


class InPlace(nn.Module):
    """What is changed in place is changed for all who hold it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        held = y
        y += x
        held.sub_(0.5)
        y *= 2
        F.relu_(held)
        return held + y / 2


class Calls(nn.Module):
    """A network whose forward is a function of it and its images."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def conv(c_in=2, c_out=2):
    return nn.Conv2d(c_in, c_out, 3, padding=1)
