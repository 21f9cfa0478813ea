# kdray on processors alone. From the root of the project:
#   docker build -f docker/cpu.Dockerfile -t kdray:cpu .
#   docker run --rm --shm-size=1g -v "$PWD/store:/work/store" kdray:cpu kdray run recipes/sample.yaml
FROM python:3.12-slim
WORKDIR /work
COPY . /work
# torch without CUDA: from PyTorch's own index, the rest with the versions that kdray is tested with
RUN grep -v '^torch==' constraints.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir -c /tmp/constraints.txt -e '.[sample]'
CMD ["kdray", "doctor"]
