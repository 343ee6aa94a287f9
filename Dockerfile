# vit serve as an ordinary user, on a CPU.
#
#   docker build -t vit .
#   docker run --rm -p 127.0.0.1:8000:8000 -e VIT_SERVE_TOKEN="$(openssl rand -hex 16)" vit
#   docker run ... -v ./runs/digits:/model:ro vit /model          (a model of your own)
#
# Stop it with `docker stop -t 30`: it answers what it has taken first.
FROM python:3.12-slim

# The wheels for CPUs: a tenth of the size of those with CUDA.
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY vit vit
RUN pip install --no-cache-dir ".[serve,text,heic]" && rm -rf /src

RUN useradd --create-home vit
USER vit
WORKDIR /home/vit

EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready')"]
ENTRYPOINT ["vit", "serve", "--host", "0.0.0.0"]
CMD ["cifar10"]
